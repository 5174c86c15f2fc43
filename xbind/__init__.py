"""xbind: a prompt of any modality to a textured 3D mesh."""

from xbind.system.telemetry import switch_off

__version__ = "0.2.0"

switch_off()  # here, since the libraries read their switches when they are imported
