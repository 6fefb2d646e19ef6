"""The one place where tests look inside an index in memory: at what no answer shows.

Such as whether rows lie in a file, how many are of deleted records, and where the journal is
written when the disk is full. All else is tested through the public face.
"""


def live(index):
    """The records of an index in memory, and when its graph is built."""
    return index._backend._home.contents.live


def state(index):
    """What a lookup would search now: rows, and the graph of an engine."""
    return live(index).state


def journal(index):
    """The journal that changes of an index in a folder are written to."""
    return live(index).journal
