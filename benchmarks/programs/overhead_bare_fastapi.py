"""The endpoint by FastAPI and nothing around it, and the same as lmservice's app."""

from fastapi import FastAPI

from lmservice import Service

app = FastAPI()


@app.get("/flights/{origin}/{destination}")
async def flights(origin: str, destination: str) -> dict[str, str]:
    """Answers with its two path parameters."""
    return {"origin": origin, "destination": destination}


service = Service("overhead", app=app)
