"""Comparisons of methods: the experiment file, its runs, its costs, its tables and page."""
