"""Frozen networks, and how they become engines; read in this order.

| | |
|---|---|
| `manifest` | what a bundle holds |
| `frozen` | its networks, in memory; `load`: from files |
| `precision` | the same in half precision |
| `graphs` | each graph, declared once; sample inputs; the graphs of a run |
| `fingerprint` | what decides an engine; `source_digest`: the code in it |
| `build` | one engine, with its parity gate; `build_many`: several, in processes |
| `runtime` | the engines of a run, or eager torch; `select`: which of them |
| `loaded` | a bundle and its open engines, for any number of runs |
"""
