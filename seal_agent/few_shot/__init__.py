"""Few-shot learning: a task given by demonstrations, learnt by a training recipe that is chosen by its reward. Begin with `learning.py`."""
