"""How each page's recorded run is made: one module a page, each with `make(engine) -> str`."""
