"""secondlook: train recognisers of actions in video, see what they look at, and find out whose mistake a mistake is."""

__version__ = "0.1.0"
