"""By night, in reading order: cycle, selection, facts, self_edit, questions, inner_loop, evaluation, gate."""
