"""The service, put together."""

{% if cookiecutter.database == "none" -%}
import shutil
import tempfile
{% endif -%}
{% if cookiecutter.database != "none" -%}
from collections.abc import AsyncIterator
{% endif -%}
from importlib.metadata import version

from lmservice import {% if cookiecutter.client %}ClientPolicy, {% endif %}Service
{% if cookiecutter.database != "none" -%}
from sqlalchemy.ext.asyncio import AsyncEngine
{% endif -%}
from starlette.datastructures import State
from starlette.routing import Route
{% if cookiecutter.database != "none" %}
from {{ cookiecutter.__package }} import store
{%- endif %}
from {{ cookiecutter.__package }}.greetings import greet
{%- if cookiecutter.database != "none" %}
from {{ cookiecutter.__package }}.notes import add_note, show_note
{%- endif %}
{%- if cookiecutter.client %}
from {{ cookiecutter.__package }}.prices import show_price
{%- endif %}
from {{ cookiecutter.__package }}.settings import {{ cookiecutter.__class }}Settings
{%- if cookiecutter.client %}
from {{ cookiecutter.__package }}.supplier import Supplier
{%- endif %}

service = Service(
    "{{ cookiecutter.project_name }}",
    routes=[
        Route("/greetings/{name}", greet),
{%- if cookiecutter.database != "none" %}
        Route("/notes", add_note, methods=["POST"]),
        Route("/notes/{number:int}", show_note),
{%- endif %}
{%- if cookiecutter.client %}
        Route("/prices/{item}", show_price),
{%- endif %}
    ],
    settings={{ cookiecutter.__class }}Settings,
    version=version("{{ cookiecutter.project_name }}"),
)

{%- if cookiecutter.database == "none" %}

LEAST_SPACE = 1_048_576
"""What must be free for temporary files, in bytes."""
{%- endif %}
{%- if cookiecutter.client %}

client = service.client("http://supplier", policy=ClientPolicy(timeout=1, deadline=3))
{%- endif %}


@service.startup_job(timeout=10)
async def phrase(state: State) -> str:
    """How everyone is addressed: what a start-up job returns, each request finds in `request.state`."""
    greeting: str = state.settings.greeting
    return f"{greeting},"
{%- if cookiecutter.client %}


@service.startup_job
async def supplier(state: State) -> Supplier:
    """Who knows the prices."""
    return Supplier(client, state.settings.supplier_url)
{%- endif %}
{%- if cookiecutter.database != "none" %}


@service.startup_job(timeout=10)
async def database(state: State) -> AsyncIterator[AsyncEngine]:
    """The database's engine, for as long as the service lives."""
    engine = store.open_engine(state.settings.database_url)
    try:
        yield engine
    finally:
        await engine.dispose()


@service.startup_job(after=["database"], timeout=50, attempts=5)
async def schema(state: State) -> None:
    """Migrates the database, by whichever instance comes first; tried again while the database is not there yet."""
    await store.migrate(state.database)


@service.health_check(name="database", critical=True)
async def database_answers(state: State) -> None:
    """Whether the database answers: no request can be served without."""
    await store.ping(state.database)
{%- else %}


@service.health_check
def temporary_space() -> bool:
    """Whether temporary files find room; a plain function runs in a thread."""
    return shutil.disk_usage(tempfile.gettempdir()).free > LEAST_SPACE
{%- endif %}
