"""An executor whose jobs end when a test says so."""

import json
import queue

from xbind.batch.executor import Died, Failed, Finished, Progress
from xbind.run.json_files import to_json, to_line

UNDERSTOOD = {"text": {"things": {"mug": 0.9, "bowl": 0.1}}}


class FakeExecutor:
    """Used by the driver's thread for `start`, `stop` and `wait`, and by the test for the rest."""

    def __init__(self, workers=1):
        self.workers, self.tasks, self.stopped, self.closed = workers, {}, [], False
        self._events = queue.Queue()

    def free(self):
        return self.workers - len(self.tasks)

    def start(self, task):
        self.tasks[task.job.id] = task

    def stop(self, id):
        self.stopped.append(id)
        self.tasks.pop(id)

    def wait(self, timeout_s):
        try:
            event = self._events.get(timeout=min(timeout_s, 0.02))
        except queue.Empty:
            return []
        if not isinstance(event, Progress):
            self.tasks.pop(event.id)
        return [event]

    def close(self):
        self.closed = True

    def write_run(self, id, files=(), steps=0):
        """Write the folder of a run: its settings, some files, and records of steps."""
        task = self.tasks[id]
        task.work.mkdir(parents=True, exist_ok=True)
        plain = json.loads(json.dumps({"seed": task.job.config.seed}))
        about = {"prompt": {"text": "x"}, "preset": "smoke", "method": {}, "understood": UNDERSTOOD}
        (task.work / "config.json").write_bytes(to_json(plain | about))
        for name in files:
            path = task.work / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(f"content of {name}".encode())
        lines, running = [], 0
        for step in range(1, steps + 1):
            line, running = to_line({"phase": "coarse", "step": step, "ms": -step / 10}, running)
            lines.append(line)
        (task.work / "events.jsonl").write_bytes(b"".join(lines))
        return task.work

    def progress(self, id, step, steps):
        self._events.put(Progress(id, "coarse", step, steps))

    def finish(self, id, messages=()):
        task = self.tasks[id]
        if not task.job.config.reference_only:
            task.work.rename(task.result)
        self._events.put(Finished(id, 1.5, tuple(messages)))

    def fail(self, id, error):
        self._events.put(Failed(id, error))

    def die(self, id):
        self._events.put(Died(id, "killed by signal 9"))
