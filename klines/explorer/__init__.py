"""A page on loopback that shows what is in the file: `make explore`. It reads only, and never imports Prefect.

Compared in November 2026, by a map of 600 symbols × 1,095 days in Chromium, klines whose gaps say why at the pointer,
what is installed for it, nothing loaded from elsewhere, both colour schemes, and the lines that are ours to keep:

- marimo with plotly (290 MB, 26 packages) or altair (235 MB, 33): a notebook's server and editor around three pictures.
- Dash, that is plotly (144 MB, 29): the map alone is a page of 6 MB, there after 2.5 s.
- Bokeh (146 MB, 11, with numpy): the map is an image, there after 0.8 s, that is shrunk where days outnumber pixels.
- A page of our own (0.2 MB, no package: starlette and uvicorn come with Prefect): the map is a canvas, drawn in 15 ms,
  where the worst day of a pixel wins; candles by TradingView's Lightweight Charts, one file without dependencies under
  Apache 2.0, kept here as it is published. Chosen: it has the fewest parts, and its map misses no bad day.
"""
