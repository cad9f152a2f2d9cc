"""How fast a credential may call, shared by all who use it."""
