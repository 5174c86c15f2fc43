"""An executor without processes, whose tasks end as a test says."""

from xbind.batch.executor import Finished
from xbind.config.options import GenerateConfig, PromptConfig


def config_of(text="a red mug", **options):
    return GenerateConfig(prompt=PromptConfig(text=text), preset="probe", **options)


def finish(task):
    """Put a result in place, as a worker does."""
    task.work.mkdir(parents=True, exist_ok=True)
    (task.work / "mesh.glb").write_text("mesh")
    task.work.rename(task.result)
    return Finished(task.job.id, 1.0, ("made",))


class FakeExecutor:
    """`ending(task)` returns the event that ends a task; None leaves it running."""

    def __init__(self, ending=finish, workers=1):
        self.ending, self.workers = ending, workers
        self.running, self.started, self.stopped = {}, [], []

    def free(self):
        return self.workers - len(self.running)

    def start(self, task):
        assert self.free() > 0
        self.started.append(task.job.id)
        self.running[task.job.id] = task

    def stop(self, id):
        self.stopped.append(id)
        del self.running[id]

    def wait(self, timeout_s):
        ended = [self.ending(task) for task in self.running.values()]
        for event in ended:
            if event is not None:
                del self.running[event.id]
        return [event for event in ended if event is not None]

    def close(self):
        self.running.clear()
