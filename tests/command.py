"""A command line in this process, and what it said."""

import argparse

from exporter import cli


def ran(capture, *arguments):
    """Its exit code and lines; ``capfd`` has what libraries write to stdout and stderr too, ``capsys`` has Python's."""
    capture.readouterr()
    code = cli.main([str(argument) for argument in arguments])
    out, err = capture.readouterr()
    return argparse.Namespace(code=code, out=out.splitlines(), err=err.splitlines())


def ran_well(capture, *arguments):
    """The lines of stdout, where it must go well."""
    result = ran(capture, *arguments)
    assert (result.code, result.err) == (0, [])
    return result.out


def ran_badly(capture, *arguments, code=2):
    """The one line that is said where the input is bad, and all that was written to stdout."""
    result = ran(capture, *arguments)
    (line,) = result.err
    assert result.code == code
    assert line.startswith("export-preprocessor: ")
    return line.removeprefix("export-preprocessor: "), result.out
