"""The whole protocol without Flower: a few lines of loop over methods, estimate and server step."""

import numpy as np

from fl_ef21.methods import Turn
from fl_ef21.methods.server import Descent

F64 = np.dtype(np.float64)


def always(*_):
    return True


def never(*_):
    return False


def trajectory(
    method,
    compressor,
    gradients,
    x,
    gamma,
    rounds,
    *,
    takes_part=always,
    coin=never,
    server=None,
    weights=None,
    scales=None,
    stochastic=False,
):
    """The iterates x⁰ … x^rounds of n clients, where ``gradients[i](x)`` is ∇f_i(x).

    ``compressor`` is one, or a function of round and client; ``takes_part(t, i)`` says who is
    sampled and ``coin(t)`` how the coin falls. Stochastic gradients are ``gradients[i](x, t)``.
    """
    size, n = x.size, len(gradients)
    compressor_of = compressor if callable(compressor) else lambda t, i: compressor
    server, server_state = server or Descent(), {}
    method = method.fitted(compressor_of(0, 0), size)
    estimate = method.estimate(size, F64)
    states, spoken = [method.start(size, F64)] * n, [False] * n
    iterates = [x]
    for t in range(rounds):
        estimate.begin_round()
        for i in range(n):
            if not takes_part(t, i):
                continue
            rng = np.random.default_rng([t, i])
            signal = gradients[i](x, t) if stochastic else gradients[i](x)
            signal = signal * (scales[i] if scales is not None else 1.0)
            turn = Turn(first=not spoken[i], full=coin(t), step_size=gamma)
            message = method.client_step(states[i], signal, compressor_of(t, i), rng, turn)
            private = method.private(states[i], signal, message, turn)
            states[i] = method.commit(states[i], message, private)
            estimate.fold(str(i), weights[i] if weights is not None else 1.0, message)
            spoken[i] = True
        silent = spoken.count(False) if method.counts_silent_clients else 0
        mean, step = estimate.mean(silent), method.server_step_size(gamma)
        x, server_state = server.step(server_state, x, mean, step)
        iterates.append(x)
    return iterates
