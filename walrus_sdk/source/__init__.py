"""The folder that is published: walked by descriptors, hashed once, read again with the same bytes or not at all.

Lives here: the walk, hashing, the stat cache, the guard against publishing secrets, the commit of the folder's
repository. Implements the port `Folder`.
Must not live here: which headers or site paths files get, what is stored, any network.
"""
