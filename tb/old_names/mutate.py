"""Lives in tb/mutation/campaign.py now."""

from pymodel.support.old_names import forward

forward(__spec__, "tb.mutation.campaign")
