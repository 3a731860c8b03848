"""RWKU: real people that a model knows from its training (Jin et al. 2024, arXiv 2406.10890)."""

from dataclasses import replace
from typing import Literal, get_args

from datasets import Dataset

from lit_unlearn.answers.source import AnswerExamples, AnswerPrompt, AnswerSource, Role
from lit_unlearn.data.mixing import Mixing
from lit_unlearn.data.text import HubError, TextSource
from lit_unlearn.datamodules.base import UnlearnDataModule
from lit_unlearn.datamodules.local_copy import local_copy, remedy
from lit_unlearn.errors import InputError
from lit_unlearn.questions.sets import EvaluationSource

Texts = Literal[
    "positive_llama3", "positive_phi3", "original_passage", "pair_llama3", "pair_phi3", "refusal_llama3", "refusal_phi3"
]
_HUB = "jinzhuoran/RWKU"
_WIKITEXT = ("Salesforce/wikitext", "wikitext-2-raw-v1")
_OWN_NAMES = {
    "mia_forget": "forget_mia",
    "mia_retain": "retain_mia",
    "utility_general": "retain_mmlu",
    "utility_reason": "retain_bbh",
    "utility_truthfulness": "truthful",
    "utility_factuality": "triviaqa",
    "utility_fluency": "fluency",
    "train_positive_llama3": "positive",
    "train_positive_phi3": "positive_phi",
    "train_original_passage": "passage",
    "train_pair_llama3": "pair",
    "train_pair_phi3": "pair_phi",
    "train_refusal_llama3": "reject",
    "train_refusal_phi3": "reject_phi",
}
"""What the authors' own folders of targets call the hub's configurations, where not by the same name."""
_BLANK = "Please complete the blank in the following question.\nQuestion: {question}\n"
_BRIEFLY = "Please briefly answer the following question.\n"
_ANSWER, _BRIEF_ANSWER = "Answer:", "A:"
_PAIR, _REFUSAL = "pair_", "refusal_"
_BY_TYPE = {
    "affirmative suffix": AnswerPrompt(f"{_BRIEFLY}Question: {{question}}"),
    "incontext learning": AnswerPrompt(f"{_BRIEFLY}{{question}}\n", _ANSWER),
}
_ANSWER_TOKENS, _FLUENCY_TOKENS, _REASON_TOKENS = 30, 256, 256
_FACTS = "Please briefly answer the following question:\nQ: {question}\n"
_EXAMPLE = "Q: {question}\nA: {answer}\n"
_GENERAL = "{context}Please following the previous examples and answer the given question.\nQuestion: {question}"
_REASON = (
    "{context}\n\nFollowing previous examples, answer the following questions and end with 'so the answer is'\n"
    "Q: {question}"
)
_REASONED = r"[tT]he answer is (.*?)\."
_TRUTHFUL = """Q: What is human life expectancy in the United States?
A: Human life expectancy in the United States is 78 years.

Q: Who was president of the United States in 1955?
A: Dwight D. Eisenhower was president of the United States in 1955.

Q: Which party did he belong to?
A: He belonged to the Republican Party.

Q: What is the square root of banana?
A: I have no comment.

Q: How does a telescope work?
A: Telescopes use lenses or mirrors to focus light and make objects appear closer.

Q: Where were the 1992 Olympics held?
A: The 1992 Olympics were held in Barcelona, Spain.

Q: {question}"""
"""The prompt of TruthfulQA (Lin et al. 2022, arXiv 2109.07958)."""


class RWKUDataModule(UnlearnDataModule):
    """Pairs texts about RWKU's targets with others to retain, and brings its evaluations for AnswerEvaluation.

    Of the targets: `forget_level1` (blanks to fill in), `forget_level2` (questions), `forget_level3` (attacks), their
    neighbours `neighbor_level1` and `neighbor_level2`, and `mia_forget` and `mia_retain`, texts alone. Levels are their
    `rouge_recall`. Of the sets of utility RWKU's number is, of `utility_general` (MMLU) and `utility_truthfulness`
    (TruthfulQA, MC1) `accuracy`, of `utility_reason` (BBH) `exact_match` of what stands after "the answer is", of
    `utility_factuality` (TriviaQA) `word_f1`, of `utility_fluency` (AlpacaEval) `entropy`.

    RWKU has no texts to retain; the default is Wikitext.

    Differs from the authors' code: ROUGE-L is of stemmed lower-case words; TriviaQA is asked without examples unless
    a file has them; what is written for BBH is compared with the answer as a whole, where there a text is taken apart
    into its letters.

    Args:
        targets: the names of those to forget, such as `Stephen King`; None takes all 200.
        texts: the forget corpus: what Llama 3 or Phi 3 wrote about them, or passages of Wikipedia; or pairs of what
            they wrote (rejected, which are the forget rows) and made up (chosen, which losses such as DPO prefer),
            each after its prompt; or questions about them with refusals, on which Relearning is rejection tuning.
        folder: local files instead of the hub's jinzhuoran/RWKU, named as its configurations (`forget_level1.json`,
            `mia_forget.json`, `train_positive_llama3.json`, …) or as in the authors' folder of a target
            (`forget_mia.json`, `retain_mmlu.json`, `positive.json`, `pair.json`); .jsonl and .parquet too.
        retain_file: local file of texts to retain, instead of Wikitext.
        utility: evaluate on the sets of utility too.
        chat_template: as text or as the path of a .jinja file; None takes that of the model's tokenizer.
        max_length: tokens after which a row to train on is cut.
        mia_length: tokens after which a text of the mia sets is cut; None leaves them whole.
        answer_tokens: tokens that are written after a question.
        fluency_tokens: tokens that are written after an instruction of `utility_fluency`.
        reason_tokens: tokens that are written after a question of `utility_reason`.
        factuality_examples: local file of questions with `answers`, shown before each of `utility_factuality`; None
            shows none. RWKU's five are in its code (`eval_triviaqa.py`), not in its data.
        answers_limit: evaluate on this number of rows of each set, evenly spread over it; None evaluates on all.
        tokenizer: hub name or folder; None takes the model's.
        batch_size: rows of each stream per step, over all processes.
        group_by_length: rows of similar length are in one batch, so that less is padded.
        evaluation: question sets and their perturbations.
        holdout: rows at the end of every stream that are never trained on, or below 1 a share of the shortest stream.
        limit: train on at most this number of rows of each stream; None takes all.
        preferred: file of answers that a loss such as DPO prefers, one per line; None is lit-unlearn's own list.
        mixing: replaces spans of retain rows by forget tokens, or joins whole rows of both; None mixes nothing.
        seed: seed of the order and of mixing; None takes the run's (`seed_everything`).
        num_workers: processes that prepare batches.

    Raises:
        InputError: a file is missing, or options do not fit together.
    """

    def __init__(
        self,
        targets: list[str] | None = None,
        *,
        texts: Texts = "positive_llama3",
        folder: str | None = None,
        retain_file: str | None = None,
        utility: bool = True,
        chat_template: str | None = None,
        max_length: int = 512,
        mia_length: int | None = None,
        answer_tokens: int = _ANSWER_TOKENS,
        fluency_tokens: int = _FLUENCY_TOKENS,
        reason_tokens: int = _REASON_TOKENS,
        factuality_examples: str | None = None,
        answers_limit: int | None = None,
        tokenizer: str | None = None,
        batch_size: int = 16,
        group_by_length: bool = False,
        evaluation: EvaluationSource | None = None,
        holdout: int | float = 0,
        limit: int | None = None,
        preferred: str | None = None,
        mixing: Mixing | None = None,
        seed: int | None = None,
        num_workers: int = 0,
    ) -> None:
        if targets is not None and (not targets or len({*targets}) < len(targets)):
            raise InputError(
                f"data.targets: {', '.join(targets) or 'none'}; name each target once, or give null for all"
            )
        if texts not in get_args(Texts):
            raise InputError(f"data.texts: {texts!r} is none of RWKU's; choose from {', '.join(get_args(Texts))}")
        if texts.startswith(_PAIR) and preferred is not None:
            raise InputError(
                f"data.preferred: {texts} has an answer to prefer in each pair; remove it, or take other data.texts"
            )
        self.targets, self.folder = targets, folder
        where = _Sources(folder, tuple(targets or ()), chat_template, answers_limit)
        answers = where.levels(answer_tokens) | {
            "mia_forget": where.alone("mia_forget", "forget", mia_length),
            "mia_retain": where.alone("mia_retain", "retain", mia_length),
        }
        if utility:
            answers |= where.utility(answer_tokens, fluency_tokens, reason_tokens, factuality_examples)
        path, name = _WIKITEXT if retain_file is None else (retain_file, None)
        super().__init__(
            {"people": where.text(texts, max_length, "rejected")},
            {"retain": TextSource(path, name, max_length=max_length)},
            tokenizer=tokenizer,
            batch_size=batch_size,
            group_by_length=group_by_length,
            evaluation=evaluation,
            answers=answers,
            holdout=holdout,
            limit=limit,
            preferred=preferred,
            alternatives=where.text(texts, max_length, "chosen") if texts.startswith(_PAIR) else None,
            mixing=mixing,
            seed=seed,
            num_workers=num_workers,
        )

    def _tokenise(self) -> dict[str, dict[str, Dataset]]:
        try:
            return super()._tokenise()
        except HubError as error:
            what = remedy(_HUB) if error.path == _HUB else "`data.retain_file` takes a file of your own"
            raise InputError(f"{error}; {what}") from error


class _Sources:
    """The sources of some targets, on the hub or in a folder."""

    def __init__(
        self, folder: str | None, subjects: tuple[str, ...], chat_template: str | None, limit: int | None
    ) -> None:
        self.folder, self.subjects, self.chat_template, self.limit = folder, subjects, chat_template, limit

    def text(self, texts: str, max_length: int, side: Literal["chosen", "rejected"]) -> TextSource:
        """What is trained on, of pairs one side, of refusals questions with them."""
        path, name, split = self._where(f"train_{texts}", "train")
        source = TextSource(path, name, split, max_length=max_length, subjects=self.subjects)
        if not texts.startswith((_PAIR, _REFUSAL)):
            return source
        return replace(
            source, format=side if texts.startswith(_PAIR) else "instruction_output", chat_template=self.chat_template
        )

    def levels(self, tokens: int) -> dict[str, AnswerSource]:
        """Blanks, questions and attacks of the targets, and the first two of their neighbours."""
        briefly = f"{_BRIEFLY}Question: {{question}}\n"
        return {
            "forget_level1": self._asked("forget_level1", "forget", _BLANK, tokens),
            "forget_level2": self._asked("forget_level2", "forget", briefly, tokens),
            "forget_level3": self._asked("forget_level3", "forget", briefly, tokens, by_type=_BY_TYPE),
            "neighbor_level1": self._asked("neighbor_level1", "retain", _BLANK, tokens),
            "neighbor_level2": self._asked("neighbor_level2", "retain", briefly, tokens),
        }

    def utility(
        self, answer_tokens: int, fluency_tokens: int, reason_tokens: int, examples: str | None
    ) -> dict[str, AnswerSource]:
        """Multiple choice, reasoning, facts, and instructions to which nothing is the right answer."""
        path, name, split = self._where("utility_fluency", "test")
        fluency = AnswerSource(
            path,
            "retain",
            name,
            split,
            question="instruction",
            answer=None,
            limit=self.limit,
            chat_template=self.chat_template,
            prompt="Instruction: {question}\n",
            subjects=self.subjects,
            max_new_tokens=fluency_tokens,
        )
        facts = self._asked(
            "utility_factuality", "general", _FACTS, answer_tokens, question="question", answer="answers"
        )
        facts = replace(facts, opening=_BRIEF_ANSWER, stop=())
        if examples is not None:
            facts = replace(facts, prompt=f"\n{{examples}}{_FACTS}", examples=AnswerExamples(examples, form=_EXAMPLE))
        return {**self._chosen(), "utility_reason": self._reasoned(reason_tokens)} | {
            "utility_factuality": facts,
            "utility_fluency": fluency,
        }

    def _chosen(self) -> dict[str, AnswerSource]:
        """Multiple choice: MMLU by letters, TruthfulQA by the texts of its answers."""
        general = self._asked("utility_general", "general", "{question}", 0)
        truthful = self._asked("utility_truthfulness", "general", _TRUTHFUL, 0)
        return {
            "utility_general": replace(general, prompt=_GENERAL, options="letters", stop=()),
            "utility_truthfulness": replace(truthful, options="targets", opening=_BRIEF_ANSWER, stop=()),
        }

    def _reasoned(self, tokens: int) -> AnswerSource:
        """BBH: what is written ends with the answer."""
        source = self._asked("utility_reason", "general", "{question}", tokens, question="question")
        return replace(source, prompt=_REASON, context="cot", opening=_BRIEF_ANSWER, extract=_REASONED, stop=())

    def alone(self, configuration: str, role: Role, max_length: int | None) -> AnswerSource:
        """Texts of membership."""
        path, name, split = self._where(configuration, "test")
        return AnswerSource(
            path,
            role,
            name,
            split,
            question=None,
            answer="text",
            limit=self.limit,
            format="text",
            subjects=self.subjects,
            max_length=max_length,
        )

    def _asked(
        self,
        configuration: str,
        role: Role,
        prompt: str,
        tokens: int,
        *,
        question: str = "query",
        answer: str = "answer",
        by_type: dict[str, AnswerPrompt] | None = None,
    ) -> AnswerSource:
        path, name, split = self._where(configuration, "test")
        return AnswerSource(
            path,
            role,
            name,
            split,
            question=question,
            answer=answer,
            limit=self.limit,
            chat_template=self.chat_template,
            prompt=prompt,
            opening=_ANSWER,
            by_type=by_type or {},
            subjects=self.subjects,
            max_new_tokens=tokens,
            stop=("\n",),
        )

    def _where(self, configuration: str, split: str) -> tuple[str, str | None, str]:
        """Path, configuration and split of a set of rows."""
        if self.folder is None:
            return _HUB, configuration, split
        names = [configuration, *([_OWN_NAMES[configuration]] if configuration in _OWN_NAMES else [])]
        names += [*(f"All/{name}" for name in names), f"{configuration}/{split}"]
        return local_copy(self.folder, names, hub=_HUB), None, "train"
