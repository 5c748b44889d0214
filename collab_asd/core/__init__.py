"""What every room needs: types, errors, seeds, files, keys, progress, downloads. Imports no other room."""
