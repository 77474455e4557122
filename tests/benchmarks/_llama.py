"""Answers prompts with llama.cpp, one after another with its own reuse of the prompt before.

Run by `generate.py` with the interpreter that has llama-cpp-python: JSON in by standard input (``model``,
``threads``, ``limit``, ``stops``, ``prompts`` as token ids), JSON out (``answers``, ``wall``, ``cpu``).
"""

import json
import sys
import time

from llama_cpp import Llama


def main() -> None:
    """Answer what stands on standard input."""
    asked = json.load(sys.stdin)
    threads, stops = asked["threads"], set(asked["stops"])
    model = Llama(
        asked["model"], n_ctx=1024, n_batch=512, n_threads=threads, n_threads_batch=threads, verbose=False
    )
    model.eval(asked["prompts"][0])
    model.reset()
    wall, cpu = time.perf_counter(), time.process_time()
    answers = []
    for prompt in asked["prompts"]:
        answer: list[int] = []
        # Greedy; the library keeps the longest beginning that this prompt shares with the one before it.
        for token in model.generate(prompt, temp=0.0, top_k=1, repeat_penalty=1.0):
            answer.append(token)
            if token in stops or len(answer) == asked["limit"]:
                break
        answers.append(answer)
    print(
        json.dumps({"answers": answers, "wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu})
    )


if __name__ == "__main__":
    main()
