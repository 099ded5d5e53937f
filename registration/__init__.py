"""Two radiographs of one patient brought onto one grid, disease kept."""
