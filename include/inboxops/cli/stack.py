"""placeholder replaced by the merge of the stack branch"""

import typer


def register(app: typer.Typer) -> None: ...
