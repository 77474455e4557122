"""Running a model in this process: its files, its chat template, the machine, and decoding."""
