"""The service {{ cookiecutter.project_name }}.

`lmservice run {{ cookiecutter.__package }}:service` runs it.
"""

from {{ cookiecutter.__package }}.application import service

__all__ = ["service"]
