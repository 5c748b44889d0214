"""The Flower app that runs any method, and the command line."""
