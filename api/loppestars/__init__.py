"""The Loppestars API: takes stall photos out of one bucket and anonymises the faces in them.

`main` is the entry point. `api` speaks HTTP, `storage` speaks to Supabase, `pipeline` is the pure
way from a photo's bytes to an anonymised JPEG; nothing below `api` knows of FastAPI.
"""
