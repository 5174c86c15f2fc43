"""A reporter for tests of whole runs."""


class Watcher:
    """A reporter that counts, and can stop a run like Ctrl-C."""

    def __init__(self, stop_at=None):
        self.steps, self.stop_at, self.messages, self.outputs = [], stop_at, [], ()

    def __enter__(self):
        return self

    def __exit__(self, *error):
        pass

    def phase_started(self, name, steps, done=0):
        pass

    def step(self, record):
        self.steps.append((record.phase, record.step))
        if self.steps[-1] == self.stop_at:
            raise KeyboardInterrupt

    def preview(self, path):
        assert path.is_file()

    def message(self, text):
        self.messages.append(text)

    def finished(self, outputs, seconds):
        self.outputs = outputs
