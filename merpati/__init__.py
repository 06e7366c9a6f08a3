"""The shared core of Merpati: what every service agrees on, and nothing that only one of them does.

The four service packages (`ingest`, `processors`, `delivery`, `access`) import this package and never each other;
nothing here imports a service, save `merpati.cli`, which starts them.
"""

__version__ = "0.1.0"
