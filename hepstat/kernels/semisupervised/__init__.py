"""Pseudo-experiments of a search whose classifier is trained on the very data that it selects from."""
