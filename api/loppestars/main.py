"""The ASGI application, configured from the environment: `uvicorn loppestars.main:app`.

    uvicorn loppestars.main:app --host 0.0.0.0 --port 8080

It starts with a wrong configuration too, and then says on `/health` what is wrong.
"""

import os

from loppestars.api import create_app
from loppestars.settings import Settings

app = create_app(Settings.from_environment(os.environ))
