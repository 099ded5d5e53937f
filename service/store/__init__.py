"""Where rows and objects are kept."""
