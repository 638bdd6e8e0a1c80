"""What this package costs on this machine, against a bare VGG-19, PyTorch and the processor: `python -m benchmarks`.

Not in the wheel. Data flows one way: __main__ -> sections -> one module for each section -> processes -> child
processes (`ours`, `torch_transfer`, `layers`, `startup`, `descents`), and back as plain JSON, which `tables` puts into
words.
"""
