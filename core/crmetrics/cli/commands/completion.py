"""`crmetrics completion`: the script that a shell loads."""

from __future__ import annotations

import click

from crmetrics.cli.options import command
from crmetrics.cli.session import Session, pass_session

SHELLS = ("bash", "zsh", "fish")


@command("completion")
@click.argument("shell", metavar="SHELL", type=click.Choice(SHELLS))
@pass_session
def completion(session: Session, shell: str) -> None:
    """Print the completion script of SHELL (bash, zsh or fish).

    \b
    bash: eval "$(crmetrics completion bash)"   in ~/.bashrc
    zsh:  eval "$(crmetrics completion zsh)"    in ~/.zshrc, after compinit
    fish: crmetrics completion fish > ~/.config/fish/completions/crmetrics.fish
    """
    from click.shell_completion import ShellComplete, get_completion_class

    kind = get_completion_class(shell)
    root = click.get_current_context().find_root()
    assert kind is not None, f"click knows {shell}"
    script = kind(root.command, {}, "crmetrics", "_CRMETRICS_COMPLETE")
    # ShellComplete's own: the one for bash starts bash to look at its version.
    session.console.print_data(ShellComplete.source(script))
