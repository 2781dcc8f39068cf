"""Tables -> one self-contained page."""
