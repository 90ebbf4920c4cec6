"""The fuzz targets without guidance: their seeds, and what hypothesis makes of them."""
