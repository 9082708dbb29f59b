"""Privacy accountants as Opacus has them: Rényi, Gaussian, and numerical composition of privacy losses.

Opacus itself imports all of PyTorch's data loading; its accountants need NumPy and SciPy alone.
"""

import json
import warnings
from pathlib import Path

TABLE = Path(__file__).resolve().parent.parent / "crates/fornax-privacy/tests/reference/accountants.json"

# Sampling rate, noise, steps, δ.
ROWS = [
    (0.04, 1.5, 2250, 1e-5),
    (0.0025, 1.3, 6000, 1e-5),
    (0.01, 1.0, 1000, 1e-5),
    (0.001, 0.7, 20_000, 1e-6),
    (0.1, 2.5, 500, 1e-5),
    (0.3, 5.0, 200, 1e-4),
    (0.5, 1.1, 3, 1e-5),
    (0.02, 0.6, 40, 1e-5),
    (0.0085, 0.9, 7000, 1e-5),
]
ORDERS = [1.1, 1.5, 2.0, 3.7, 8.3, 10.9, 19.0, 32.0, 63.0]


def row(rate, noise, steps, delta):
    from opacus.accountants import GaussianAccountant, PRVAccountant, RDPAccountant
    from opacus.accountants.analysis import gdp, rdp

    def accountant(kind):
        filled = kind()
        filled.history = [(noise, rate, steps)]
        return filled

    epsilon, order = accountant(RDPAccountant).get_privacy_spent(delta=delta)
    composed = accountant(PRVAccountant)._get_dprv(eps_error=0.01, delta_error=delta / 1000)
    lower, estimate, upper = composed.compute_epsilon(delta, delta / 1000, 0.01)
    return {
        "rate": rate, "noise": noise, "steps": steps, "delta": delta,
        "rdp": float(epsilon), "order": float(order),
        "by_order": [[a, float(rdp._compute_rdp(rate, noise, a))] for a in ORDERS],
        "mu": float(gdp.compute_mu_poisson(steps=steps, noise_multiplier=noise, sample_rate=rate)),
        "gdp": float(accountant(GaussianAccountant).get_epsilon(delta=delta)),
        "prv_lower": float(lower), "prv_estimate": float(estimate), "prv_upper": float(upper),
    }


def write():
    warnings.simplefilter("ignore")
    rows = [json.dumps(row(*numbers)) for numbers in ROWS]
    TABLE.write_text("[\n" + ",\n".join(rows) + "\n]\n")


if __name__ == "__main__":
    write()
