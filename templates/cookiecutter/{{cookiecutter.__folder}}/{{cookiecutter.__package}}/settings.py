"""What the service can be told, beside what every service can."""

from lmservice import Settings
from pydantic import Field
{%- if cookiecutter.database == "sqlite" %}

DATABASE_URL = "sqlite+aiosqlite:///{{ cookiecutter.project_name }}.db"
{%- elif cookiecutter.database == "postgresql" %}

DATABASE_URL = "postgresql+asyncpg://localhost/{{ cookiecutter.__package }}"
{%- endif %}


class {{ cookiecutter.__class }}Settings(Settings):
    """The settings of {{ cookiecutter.project_name }}; each is read from `LM_` and its name."""
{% if cookiecutter.__service_port != "8081" %}
    port: int = Field({{ cookiecutter.__service_port }}, ge=0, le=65535, description="the service listener's port; 0 picks a free one")
{%- endif %}
{%- if cookiecutter.__management_port != "8002" %}
    management_port: int = Field({{ cookiecutter.__management_port }}, ge=0, le=65535, description="the management listener's port; 0 picks a free one")
{%- endif %}
    greeting: str = Field("hello", description="what is said to everyone")
{%- if cookiecutter.database == "sqlite" %}
    database_url: str = Field(DATABASE_URL, description="the database, a file")
{%- elif cookiecutter.database == "postgresql" %}
    database_url: str = Field(DATABASE_URL, description="the database, with its password")
{%- endif %}
{%- if cookiecutter.client %}
    supplier_url: str = Field("http://localhost:9000", description="the service that knows the prices")
{%- endif %}
