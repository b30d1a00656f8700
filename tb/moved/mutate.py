"""Lives in tb/mutation/campaign.py now."""

from pymodel.support.moved import forward

forward(__spec__, "tb.mutation.campaign")
