from .cli import cli

cli(prog_name="python -m neural_style_mmd")
