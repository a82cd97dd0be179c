"""Recurrent networks, step by step (ONNX sections RNN, GRU, LSTM)."""

import torch
from torch import Tensor

__all__ = ["gru", "lstm", "rnn"]


def _activate(x: Tensor, name: str, alpha: float, beta: float, clip: float) -> Tensor:
    if clip > 0:
        x = torch.clamp(x, -clip, clip)
    kind = name.lower()
    if kind == "sigmoid":
        return torch.sigmoid(x)
    if kind == "tanh":
        return torch.tanh(x)
    if kind == "relu":
        return torch.relu(x)
    if kind == "affine":
        return alpha * x + beta
    if kind == "leakyrelu":
        return torch.where(x < 0, alpha * x, x)
    if kind == "thresholdedrelu":
        return torch.where(x > alpha, x, torch.zeros_like(x))
    if kind == "scaledtanh":
        return alpha * torch.tanh(beta * x)
    if kind == "hardsigmoid":
        return torch.clamp(alpha * x + beta, 0.0, 1.0)
    if kind == "elu":
        return torch.where(x > 0, x, alpha * torch.expm1(x))
    if kind == "softsign":
        return x / (1.0 + torch.abs(x))
    assert kind == "softplus"
    return torch.log1p(torch.exp(x))


def _steps(length: int, backward: bool) -> list[int]:
    order: list[int] = []
    for step in range(length):
        order.append(length - 1 - step if backward else step)
    return order


def _live(lengths: Tensor | None, step: int, like: Tensor) -> Tensor:
    """Return which batch entries still have a step, as a column."""
    if lengths is None:
        return torch.ones([like.size(0), 1], dtype=torch.bool)
    return (lengths > step).unsqueeze(1)


def _backward(direction: str, index: int) -> bool:
    return index == 1 or direction == "reverse"


def _start(state: Tensor | None, index: int, x: Tensor, hidden: int) -> Tensor:
    if state is None:
        return torch.zeros([x.size(1), hidden], dtype=x.dtype)
    return state[index]


def _bias(bias: Tensor | None, index: int, size: int, x: Tensor) -> Tensor:
    if bias is None:
        return torch.zeros([2 * size], dtype=x.dtype)
    return bias[index]


def _result(
    outputs: list[Tensor], finals: list[Tensor], batch_first: bool
) -> tuple[Tensor, Tensor]:
    """Join directions: Y is [time, direction, batch, hidden], or batch first."""
    whole = torch.stack(outputs, 1)
    last = torch.stack(finals, 0)
    if batch_first:
        return whole.permute([2, 0, 1, 3]), last.transpose(0, 1)
    return whole, last


def rnn(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h0: Tensor | None,
    names: list[str],
    alphas: list[float],
    betas: list[float],
    clip: float,
    direction: str,
    batch_first: bool,
) -> tuple[Tensor, Tensor]:
    """Section RNN."""
    hidden = r.size(2)
    if batch_first:
        x = x.transpose(0, 1)
        if h0 is not None:
            h0 = h0.transpose(0, 1)
    outputs: list[Tensor] = []
    finals: list[Tensor] = []
    for index in range(w.size(0)):
        bias = _bias(b, index, hidden, x)
        constant = bias[:hidden] + bias[hidden:]
        h = _start(h0, index, x, hidden)
        items: list[Tensor] = []
        for step in _steps(x.size(0), _backward(direction, index)):
            gate = x[step] @ w[index].t() + h @ r[index].t() + constant
            new = _activate(gate, names[index], alphas[index], betas[index], clip)
            live = _live(lengths, step, h)
            h = torch.where(live, new, h)
            items.append(torch.where(live, new, torch.zeros_like(new)))
        finals.append(h)
        outputs.append(_in_time(items, x, hidden, _backward(direction, index)))
    return _result(outputs, finals, batch_first)


def _in_time(items: list[Tensor], x: Tensor, hidden: int, backward: bool) -> Tensor:
    if len(items) == 0:
        return torch.zeros([0, x.size(1), hidden], dtype=x.dtype)
    whole = torch.stack(items)
    return torch.flip(whole, [0]) if backward else whole


def gru(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h0: Tensor | None,
    names: list[str],
    alphas: list[float],
    betas: list[float],
    clip: float,
    direction: str,
    batch_first: bool,
    linear: bool,
) -> tuple[Tensor, Tensor]:
    """Section GRU; gates in the order z, r, h."""
    size = r.size(2)
    if batch_first:
        x = x.transpose(0, 1)
        if h0 is not None:
            h0 = h0.transpose(0, 1)
    outputs: list[Tensor] = []
    finals: list[Tensor] = []
    for index in range(w.size(0)):
        bias = _bias(b, index, 3 * size, x)
        wb, rb = bias[: 3 * size], bias[3 * size :]
        weight, recurrence = w[index].t(), r[index].t()
        f, g = 2 * index, 2 * index + 1
        h = _start(h0, index, x, size)
        items: list[Tensor] = []
        for step in _steps(x.size(0), _backward(direction, index)):
            own = x[step] @ weight + wb
            past = h @ recurrence[:, : 2 * size] + rb[: 2 * size]
            both = _activate(own[:, : 2 * size] + past, names[f], alphas[f], betas[f], clip)
            update, reset = both[:, :size], both[:, size:]
            kernel, offset = recurrence[:, 2 * size :], rb[2 * size :]
            after = reset * (h @ kernel + offset)
            inner = after if linear else (reset * h) @ kernel + offset
            candidate = _activate(own[:, 2 * size :] + inner, names[g], alphas[g], betas[g], clip)
            new = (1.0 - update) * candidate + update * h
            live = _live(lengths, step, h)
            h = torch.where(live, new, h)
            items.append(torch.where(live, new, torch.zeros_like(new)))
        finals.append(h)
        outputs.append(_in_time(items, x, size, _backward(direction, index)))
    return _result(outputs, finals, batch_first)


def lstm(
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None,
    lengths: Tensor | None,
    h0: Tensor | None,
    c0: Tensor | None,
    p: Tensor | None,
    names: list[str],
    alphas: list[float],
    betas: list[float],
    clip: float,
    direction: str,
    batch_first: bool,
    input_forget: bool,
) -> tuple[Tensor, Tensor, Tensor]:
    """Section LSTM; gates in the order i, o, f, c; peepholes in the order i, o, f."""
    size = r.size(2)
    if batch_first:
        x = x.transpose(0, 1)
        if h0 is not None:
            h0 = h0.transpose(0, 1)
        if c0 is not None:
            c0 = c0.transpose(0, 1)
    outputs: list[Tensor] = []
    finals: list[Tensor] = []
    cells: list[Tensor] = []
    for index in range(w.size(0)):
        bias = _bias(b, index, 4 * size, x)
        constant = bias[: 4 * size] + bias[4 * size :]
        weight, recurrence = w[index].t(), r[index].t()
        peep = torch.zeros([3 * size], dtype=x.dtype) if p is None else p[index]
        f, g, k = 3 * index, 3 * index + 1, 3 * index + 2
        h = _start(h0, index, x, size)
        c = _start(c0, index, x, size)
        own = x @ weight + constant
        items: list[Tensor] = []
        for step in _steps(x.size(0), _backward(direction, index)):
            gates = own[step] + h @ recurrence
            i = gates[:, :size] + peep[:size] * c
            i = _activate(i, names[f], alphas[f], betas[f], clip)
            forget = gates[:, 2 * size : 3 * size] + peep[2 * size :] * c
            forget = _activate(forget, names[f], alphas[f], betas[f], clip)
            if input_forget:
                forget = 1.0 - i
            candidate = _activate(gates[:, 3 * size :], names[g], alphas[g], betas[g], clip)
            cell = forget * c + i * candidate
            o = gates[:, size : 2 * size] + peep[size : 2 * size] * cell
            o = _activate(o, names[f], alphas[f], betas[f], clip)
            new = o * _activate(cell, names[k], alphas[k], betas[k], 0.0)
            live = _live(lengths, step, h)
            h = torch.where(live, new, h)
            c = torch.where(live, cell, c)
            items.append(torch.where(live, new, torch.zeros_like(new)))
        finals.append(h)
        cells.append(c)
        outputs.append(_in_time(items, x, size, _backward(direction, index)))
    whole, last = _result(outputs, finals, batch_first)
    cell_states = torch.stack(cells, 0)
    return whole, last, cell_states.transpose(0, 1) if batch_first else cell_states
