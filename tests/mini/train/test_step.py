"""A training step: what it does, that it can be replayed, and that a run can be cut anywhere."""

import contextlib
import dataclasses
import itertools
import json
from unittest import mock

import pytest
import torch
from torch import nn
from torch.nn.functional import mse_loss

from tests.support.launches import Launches
from xbind.errors import XBindError
from xbind.mini.train.lengths import LoopConfig
from xbind.mini.train.loop import averaged, train
from xbind.mini.train.step import AHEAD, EAGER_STEPS, MAX_NORM, Pace, Step, seed_of

CONFIG = LoopConfig(
    samples=96, batch=8, base_batch=2, warmup_steps=5, learning_rate=1e-2, decay_fraction=0.5,
    decay_shape="sqrt", ema_half_life=20.0, ema_ramp=0.3,
)  # fmt: skip


class Net(nn.Module):
    """A convolution, a norm with a buffer, a matrix."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.head = nn.Linear(8, 1)
        self.register_buffer("scale", torch.tensor(0.5))

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)) * self.scale).squeeze(1)


def net_and_losses(batch=CONFIG.batch, *, last=False):
    torch.manual_seed(0)
    net = Net()
    if last:
        net.to(memory_format=torch.channels_last)

    def losses(_step, generator):
        x = torch.randn(batch, 3, 5, 5, generator=generator)
        return {"loss": mse_loss(net(x), x.mean((1, 2, 3))), "twice": 2 * net(x).mean().detach()}

    return net, losses


def trained(work, samples, *, last=False):
    """The checkpoint after a session until `samples`, of a run that is 96 long."""
    work.mkdir(exist_ok=True)
    net, losses = net_and_losses(last=last)
    stop = {"at": samples}

    def until(step, generator):
        if step * CONFIG.batch >= stop["at"]:
            raise KeyboardInterrupt
        return losses(step, generator)

    config = dataclasses.replace(CONFIG, save_every_s=-1.0)  # after every step
    try:
        train("net", net, until, config, work)
    except KeyboardInterrupt:
        assert samples < CONFIG.samples
    return torch.load(work / "net.pt", weights_only=True)


def leaves(state, name=""):
    if isinstance(state, dict):
        for key, value in state.items():
            yield from leaves(value, f"{name}.{key}")
    elif isinstance(state, list):
        yield from leaves(dict(enumerate(state)), name)
    else:
        yield name, state


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
def test_a_run_that_is_cut_and_resumed_is_the_same_bit_for_bit(tmp_path, last):
    whole = dict(leaves(trained(tmp_path / "whole", 96, last=last)))
    for samples in (16, 56, 96):  # in the warm-up, in the decay, to the end
        parts = dict(leaves(trained(tmp_path / "parts", samples, last=last)))
    assert whole.keys() == parts.keys()
    for name, value in whole.items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, parts[name]), name
        else:
            assert value == parts[name], name
    assert whole[".samples"] == 96
    assert all(v.is_contiguous() for n, v in whole.items() if n.startswith((".model", ".ema")))


def test_a_step_is_clipped_adamw_and_an_average():
    """Against the equations of AdamW (Loshchilov and Hutter 2017) and of the average.

    Only the second gradient is clipped: AdamW would not show the norm of gradients that all are.
    """
    scales = {11: 0.1, 12: 100.0, 13: 0.1}
    config = dataclasses.replace(CONFIG, weight_decay=0.1, beta_2=0.8)
    (net, losses), (own, own_losses) = net_and_losses(), net_and_losses()

    def scaled(step, generator):
        return {"loss": scales[step] * losses(step, generator)["loss"]}

    run = Step(net, list(net.parameters()), scaled, config)
    parameters = list(own.parameters())
    averages = [p.detach().clone() for p in parameters]
    m, v = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
    total, norms = 0.0, []
    for k, rate in enumerate((1e-3, 2e-2, 5e-3), start=1):
        step, seen = 10 + k, 16 * k
        run(step, seen, rate)
        generator = torch.Generator().manual_seed(seed_of(config.seed, step))
        loss = scales[step] * own_losses(step, generator)["loss"]
        gradients = torch.autograd.grad(loss, parameters)
        total += loss.item()
        norms.append(torch.cat([g.flatten() for g in gradients]).norm().item())
        weight = 1 - 0.5 ** (8 / min(20.0, 0.3 * (seen + 8)))
        with torch.no_grad():
            for i, (p, g) in enumerate(zip(parameters, gradients, strict=True)):
                g = g * min(1.0, MAX_NORM / norms[-1])
                m[i] = 0.9 * m[i] + 0.1 * g
                v[i] = 0.8 * v[i] + 0.2 * g.square()
                move = (m[i] / (1 - 0.9**k)) / ((v[i] / (1 - 0.8**k)).sqrt() + 1e-8)
                p.copy_(p * (1 - 0.1 * rate) - rate * move)
                averages[i] += weight * (p - averages[i])
    assert [norm > MAX_NORM for norm in norms] == [False, True, False]
    for found, want in zip(net.parameters(), parameters, strict=True):
        torch.testing.assert_close(found, want, rtol=1e-4, atol=1e-5)
    for (name, _), want in zip(net.named_parameters(), averages, strict=True):
        torch.testing.assert_close(run.ema.average[name], want, rtol=1e-4, atol=1e-5)
    assert run.mean_losses(3)["loss"] == pytest.approx(total / 3, rel=1e-4)
    assert run.mean_losses(3)["loss"] == 0.0  # the sums start again


def test_moments_have_the_layout_of_their_weights(tmp_path):
    trained(tmp_path, 16)  # channels first
    net, losses = net_and_losses(last=True)
    run = Step(net, list(net.parameters()), losses, CONFIG)
    state = torch.load(tmp_path / "net.pt", weights_only=True)
    run.load_optimizer(state["optimizer"])
    moments = run.optimizer.state[net.conv.weight]
    assert moments["exp_avg"].stride() == net.conv.weight.stride() == (27, 1, 9, 3)
    torch.testing.assert_close(moments["exp_avg"], state["optimizer"]["state"][0]["exp_avg"])


def test_settings_come_from_the_configuration_and_not_from_the_checkpoint(tmp_path):
    state = trained(tmp_path, 16)
    net, losses = net_and_losses()
    config = dataclasses.replace(CONFIG, weight_decay=0.5, beta_2=0.8)
    run = Step(net, list(net.parameters()), losses, config)
    run.load_optimizer(state["optimizer"])
    (group,) = run.optimizer.param_groups
    assert (group["weight_decay"], group["betas"]) == (0.5, (0.9, 0.8))
    before = net.conv.weight.detach().clone()
    run(0, 0, 0.0)
    assert torch.equal(net.conv.weight, before)  # the rate of each step reaches the optimiser


def test_every_step_launches_the_same_and_none_waits():
    """What a CUDA graph needs: no number of one step is left in the next."""
    net, losses = net_and_losses()
    run = Step(net, list(net.parameters()), losses, CONFIG)
    run(0, 0, 1e-3)  # makes the moments and the sums
    found = []
    for step in (1, 7):
        run.rate.fill_(1e-3 * step)
        run.ema_weight.fill_(0.1 * step)
        run.generator.manual_seed(step)
        with Launches() as launches:
            run._work(step)
        found.append(launches.seen)
    assert found[0] == found[1]
    assert len(found[0]) > 40
    assert not launches.waits()


def test_operators_that_wait_are_found():
    with Launches() as launches:
        x = torch.arange(3.0)
        x.sum().item()
        x[x > 1]
        x + torch.tensor(2.0)
    assert len(launches.waits()) == 3


class Graph:
    """Stands in for a CUDA graph: to replay is to do the step again."""

    def register_generator_state(self, generator):
        self.generator = generator

    def replay(self):
        self.work(0)


def test_a_recorded_step_trains_as_an_eager_one(monkeypatch):
    """With a stand-in for CUDA whose recording computes nothing."""
    graphs = []

    @contextlib.contextmanager
    def record(graph, stream):
        graphs.append(graph)
        graph.work = run._work
        monkeypatch.setattr(run, "_work", lambda step: None)
        yield
        monkeypatch.setattr(run, "_work", graph.work)

    monkeypatch.setattr(torch.cuda, "Stream", mock.Mock)
    monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
    monkeypatch.setattr(torch.cuda, "current_stream", mock.Mock())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", record)
    states = []
    for recorded in (False, True):
        net, losses = net_and_losses()
        config = dataclasses.replace(CONFIG, cuda_graph=recorded)
        run = Step(net, list(net.parameters()), losses, config)
        ready = []
        for step in range(EAGER_STEPS + 4):
            ready.append(run.is_ready)
            run(step, step * 8, config.learning_rate_at(step * 8, step))
        states.append((net.state_dict(), run.ema.average, run.mean_losses(1)))
    assert ready == [False] * (EAGER_STEPS + 1) + [True] * 3
    assert [graph.generator for graph in graphs] == [run.generator]
    eager, replayed = (dict(leaves(list(state))) for state in states)
    for name, value in eager.items():
        assert torch.equal(torch.as_tensor(value), torch.as_tensor(replayed[name])), name


def test_a_step_that_cannot_be_recorded_names_the_way_out(monkeypatch):
    refused = RuntimeError("operation not permitted when stream is capturing")
    net, losses = net_and_losses()
    run = Step(net, list(net.parameters()), losses, CONFIG)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", mock.Mock(side_effect=refused))
    with pytest.raises(XBindError, match=r"not permitted .*\nTrain with --no-cuda-graph"):
        run._recorded(0, None)


class Device:
    """A GPU's queue: work takes its time after what was queued before."""

    def __init__(self):
        self.host_ms = self.free_ms = 0.0

    def event(self):
        device = self

        class Event:
            def record(self):
                device.free_ms = max(device.free_ms, device.host_ms)
                self.at = device.free_ms

            def synchronize(self):
                device.host_ms = max(device.host_ms, self.at)

            def elapsed_time(self, other):
                return other.at - self.at

        return Event()


@pytest.mark.parametrize(
    ("host_ms", "waiting"), [(1.0, 0.0), (20.0, 0.5)], ids=["GPU behind", "host behind"]
)
def test_the_share_that_a_gpu_waits(host_ms, waiting):
    device = Device()
    pace = Pace(device.event)
    lead = []
    for _ in range(100):
        device.host_ms += host_ms
        pace.begin()
        device.free_ms += 10.0  # the step
        pace.end()
        lead.append(device.free_ms - device.host_ms)
    assert max(lead) == 10.0 * (AHEAD if waiting == 0 else 1)
    assert pace.waiting_share() == pytest.approx(waiting, abs=0.01)
    assert pace.waiting_share() == 0.0  # of no step


def test_a_loss_that_is_not_finite_leaves_the_last_checkpoint(tmp_path):
    net, losses = net_and_losses()
    config = dataclasses.replace(CONFIG, samples=16)
    train("net", net, losses, config, tmp_path)
    before = (tmp_path / "net.pt").read_bytes()

    def broken(step, generator):
        found = losses(step, generator)
        return found | {"loss": found["loss"] * torch.inf}

    with pytest.raises(XBindError, match=r"net is not finite after 96 .*\n.* --learning-rate"):
        train("net", net, broken, CONFIG, tmp_path)
    assert (tmp_path / "net.pt").read_bytes() == before


def test_weights_that_are_not_finite_leave_the_last_checkpoint(tmp_path):
    """The loss of the step that spoils the weights is finite; the next one's is not."""
    net, losses = net_and_losses()
    train("net", net, losses, dataclasses.replace(CONFIG, samples=16), tmp_path)
    before = (tmp_path / "net.pt").read_bytes()

    def broken(step, generator):
        found = losses(step, generator)
        spoilt = found["loss"] + (net.head.bias - net.head.bias.detach()).abs().sum().sqrt()
        return {"loss": spoilt}  # the gradient of a square root at 0

    with pytest.raises(XBindError, match=r"weight of net is not finite after 24 samples"):
        train("net", net, broken, dataclasses.replace(CONFIG, samples=24), tmp_path)
    assert (tmp_path / "net.pt").read_bytes() == before


def test_a_session_without_steps_logs_no_loss_and_no_speed(tmp_path):
    net, losses = net_and_losses()
    config = dataclasses.replace(CONFIG, samples=16, save_every_s=-1.0)
    train("net", net, losses, config, tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "net.jsonl").read_text().splitlines()]
    assert [row["samples"] for row in rows] == [8, 16, 16]
    assert rows[1].keys() == {"samples", "per_s", "loss", "twice"}
    assert rows[2].keys() == {"samples"}  # the last checkpoint, after no further step


def test_exported_weights_are_half_as_precise_and_go_on(tmp_path):
    (work := tmp_path / "work").mkdir()
    (later := tmp_path / "later").mkdir()
    net, losses = net_and_losses()
    config = dataclasses.replace(CONFIG, samples=40, export=tmp_path / "out")
    train("net", net, losses, config, work)
    exported = tmp_path / "out/net.pt"
    assert exported.stat().st_size < (work / "net.pt").stat().st_size / 2
    for name, value in averaged(exported).items():
        assert value.dtype == torch.float16
        torch.testing.assert_close(
            value.float(), averaged(work / "net.pt")[name], rtol=1e-3, atol=1e-4
        )
    exported.rename(later / "net.pt")
    train("net", *net_and_losses(), dataclasses.replace(CONFIG, samples=56), later)
    state = torch.load(later / "net.pt", weights_only=True)
    assert (state["step"], state["samples"], state["fresh"]) == (7, 56, 5)
    assert {v.dtype for v in state["ema"].values()} == {torch.float32}


def test_the_rate_per_second_leaves_compilation_out(tmp_path, monkeypatch):
    clock = itertools.count(0.0, 1.0)
    now = {"s": 0.0}
    monkeypatch.setattr("xbind.mini.train.loop.time.monotonic", lambda: now["s"])
    net, losses = net_and_losses()

    def slow_first(step, generator):
        now["s"] += 100.0 if next(clock) == 0 else 2.0
        return losses(step, generator)

    train("net", net, slow_first, dataclasses.replace(CONFIG, compile=True), tmp_path)
    row = json.loads((tmp_path / "net.jsonl").read_text().splitlines()[-1])
    assert row["per_s"] == CONFIG.batch / 2.0
    assert "waiting" not in row


def test_seeds_of_steps_differ():
    assert len({seed_of(seed, step) for seed in range(11) for step in range(1000)}) == 11_000
