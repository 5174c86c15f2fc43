"""The graphs of a bundle: each is declared once, and everything else reads its definition.

A guidance step is one graph with its gradient inside; what is only sampled or encoded once is a
plain forward pass.

| | |
|---|---|
| `definition` | what is known about a graph: `GraphDef`, and `StepDef` for a guidance step |
| `steps` | the guidance steps, one for each loss and variant |
| `forwards` | the forward passes of single networks |
| `sampling` | draws that sample inputs are put together from |
| `size` | a graph at one size |
| `table` | all graphs by name; their modules and sample inputs |
| `requests` | the graphs that a run uses |
"""

from xbind.networks.graphs.definition import GraphDef as GraphDef
from xbind.networks.graphs.definition import StepDef as StepDef
from xbind.networks.graphs.definition import StepUse as StepUse
from xbind.networks.graphs.requests import PARTS as PARTS
from xbind.networks.graphs.requests import all_requests as all_requests
from xbind.networks.graphs.requests import graphs_of_part as graphs_of_part
from xbind.networks.graphs.requests import has_image_term as has_image_term
from xbind.networks.graphs.requests import requests_of_parts as requests_of_parts
from xbind.networks.graphs.requests import requests_of_phase as requests_of_phase
from xbind.networks.graphs.requests import requests_of_run as requests_of_run
from xbind.networks.graphs.sampling import MANY as MANY
from xbind.networks.graphs.sampling import shaded_balls as shaded_balls
from xbind.networks.graphs.size import GraphRequest as GraphRequest
from xbind.networks.graphs.size import request_labelled as request_labelled
from xbind.networks.graphs.table import GRAPHS as GRAPHS
from xbind.networks.graphs.table import eager_steps as eager_steps
from xbind.networks.graphs.table import graph_named as graph_named
from xbind.networks.graphs.table import make_module as make_module
from xbind.networks.graphs.table import output_names as output_names
from xbind.networks.graphs.table import sample_inputs as sample_inputs
from xbind.networks.graphs.table import sparing as sparing
from xbind.networks.graphs.table import step_of as step_of
from xbind.networks.graphs.table import steps_of as steps_of
from xbind.networks.graphs.table import term_weights as term_weights
