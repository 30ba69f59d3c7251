"""Settings of every test and doctest."""

import torch

torch.set_num_threads(1)  # tiny tensors gain nothing from a second thread, and on a busy machine it costs tenfold
