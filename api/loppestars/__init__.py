"""The Loppestars API: takes stall photos out of one bucket and anonymises the faces in them."""
