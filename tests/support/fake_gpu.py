"""A CUDA device for code that asks torch about it; nothing computes on it."""


def pretend(monkeypatch, capability, name, count=1):
    """Let torch find `count` devices of a compute capability such as (8, 9)."""
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: count)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda device=None: capability)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda device=None: name)
