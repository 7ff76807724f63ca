"""``gistembed data``: pairs read, checked, mended, made and turned into other formats."""

import typer

from gistembed.cli.data.convert import convert
from gistembed.cli.data.doctor import doctor
from gistembed.cli.data.medi import medi
from gistembed.cli.data.mine import mine
from gistembed.cli.data.mtebcls import mtebcls

data = typer.Typer(help="Check, mend, make and convert pairs.", no_args_is_help=True, rich_markup_mode=None)
for command in (doctor, convert, mine, medi, mtebcls):
    data.command()(command)
