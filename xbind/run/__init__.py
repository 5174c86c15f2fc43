"""The files of a run, and what is done with them while it goes on.

| | |
|---|---|
| `preflight`, `checks` | what is refused at once |
| `settings`, `resuming` | `config.json`: written, compared and read back |
| `networks` | the frozen networks of one run |
| `reference`, `prompt_record` | the reference view; how the prompt was understood |
| `runner` | Algorithm 1 with records, previews and checkpoints |
| `state`, `phase1` | all that a checkpoint holds; the same of another run after its Phase I |
| `folder`, `events` | the folder, one writer at a time; `events.jsonl` |
| `progress` | messages and progress, live or as lines |
| `outputs`, `report` | mesh, turntable, `report.html` |
"""
