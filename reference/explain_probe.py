"""A linear probe by scikit-learn: multinomial logistic regression with an L2 penalty, on points by formula."""

import torch
from fixture import tensor, write as write_fixture
from sklearn.linear_model import LogisticRegression

EXAMPLES, WIDTH, CLASSES, PENALTY = 24, 5, 3, 0.05


def write():
    torch.manual_seed(11)
    x = tensor(EXAMPLES, WIDTH, scale=2.0)
    classes = (x[:, 0] + 0.5 * x[:, 1] > 0).long() + (x[:, 2] > 0.5).long()
    # scikit-learn sums losses, and halves the squares once: C = 1 / (B λ).
    model = LogisticRegression(C=1 / (EXAMPLES * PENALTY), tol=1e-12, max_iter=100_000).fit(x.numpy(), classes.numpy())
    write_fixture("fornax-explain", "explain_probe", [dict(
        x=x, classes=classes.tolist(), penalty=PENALTY, weights=torch.tensor(model.coef_),
        # A constant in all biases changes nothing.
        biases=torch.tensor(model.intercept_ - model.intercept_.mean()), accuracy=model.score(x.numpy(), classes.numpy()),
    )])


if __name__ == "__main__":
    write()
