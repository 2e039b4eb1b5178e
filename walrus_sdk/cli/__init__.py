"""The command line: parse, one call, one output.

Lives here: commands and their options, how results, progress and errors are shown, exit codes, signals.
Must not live here: decisions and effects. A command asks the service (or the local network, or a tool) once and shows
the answer; what it does not know, it does not work out.
"""
