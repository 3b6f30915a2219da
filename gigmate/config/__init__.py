"""The command line and its settings: composed from `conf/`, judged, and only then acted on."""
