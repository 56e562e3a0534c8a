"""The Python and Java side of the benchmark of report metrics: pycocoevalcap (PTB tokeniser, BLEU, METEOR) and rouge.

    {"command": "metricsData"}                                    -> {"folder": ".../pycocoevalcap/meteor"}
    {"command": "metrics", "file": ".../pairs.jsonl"}             -> {"seconds": {...}, "scores": {...}}

A line of the file has the raw texts and those that the word normaliser has been through once and twice, which is the
same cheap work on both sides and is not timed here.
"""

import contextlib
import io
import json
import os
import time


def data_folder():
    import pycocoevalcap.meteor

    return os.path.dirname(os.path.abspath(pycocoevalcap.meteor.__file__))


def score(file):
    from pycocoevalcap.bleu.bleu import Bleu
    from pycocoevalcap.meteor.meteor import Meteor
    from pycocoevalcap.tokenizer.ptbtokenizer import PTBTokenizer
    from rouge import Rouge

    with open(file, encoding="utf-8") as lines:
        pairs = [json.loads(line) for line in lines]

    def tokens(kind):
        texts = {index: [{"caption": pair[kind]}] for index, pair in enumerate(pairs)}
        return PTBTokenizer().tokenize(texts)

    seconds, scores = {}, {}
    start = time.perf_counter()
    with contextlib.redirect_stdout(io.StringIO()):
        bleu = Bleu(4).compute_score(tokens("reference"), tokens("prediction"))[0]
    seconds["bleu"] = time.perf_counter() - start
    scores.update({f"bleu{order + 1}": value for order, value in enumerate(bleu)})

    start = time.perf_counter()
    scores["meteor"] = Meteor().compute_score(tokens("referenceOnce"), tokens("predictionOnce"))[0]
    seconds["meteor"] = time.perf_counter() - start

    start = time.perf_counter()
    rouge = Rouge().get_scores(
        [pair["predictionTwice"] for pair in pairs],
        [pair["referenceTwice"] for pair in pairs],
        avg=True,
    )
    seconds["rouge"] = time.perf_counter() - start
    scores.update({name: rouge[key]["f"] for name, key in
                   (("rouge1", "rouge-1"), ("rouge2", "rouge-2"), ("rougeL", "rouge-l"))})
    return {"seconds": seconds, "scores": scores}
