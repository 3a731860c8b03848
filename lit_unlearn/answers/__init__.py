"""Free answers to questions, and what is measured on them: the metrics of TOFU, MUSE and RWKU."""
